"""Losses: values, gradients and Hessians."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests.planted.registry import NUMPY, ORACLE, Module, plant

STEPS = "gradient_descent_step_matches_the_oracle gauss_newton_step_matches_the_oracle "
GRADIENTS = "gradient_matches_the_oracle gradient_matches_automatic_differentiation "


@plant("impl.loss", killed_by=GRADIENTS)
def squared_loss_without_its_half(loss: Module) -> None:
    """The gradient of the squared loss has a factor of 2."""
    correct = loss.SquaredLoss.gradient
    loss.SquaredLoss.gradient = lambda self, f, y: 2.0 * correct(self, f, y)


@plant("impl.loss", killed_by=GRADIENTS)
def mean_over_the_batch(loss: Module) -> None:
    """The gradient of the squared loss is averaged over the samples instead of summed."""
    correct = loss.SquaredLoss.gradient
    loss.SquaredLoss.gradient = lambda self, f, y: correct(self, f, y) / len(f)


@plant("impl.loss", killed_by="report_describes_the_step")
def mean_loss_reported(loss: Module) -> None:
    """The reported loss is the mean over the samples; gradients are right."""
    correct = loss.SquaredLoss.value
    loss.SquaredLoss.value = lambda self, f, y: correct(self, f, y) / len(f)


@plant("impl.loss", killed_by="gauss_newton_step_matches_the_oracle")
def softmax_without_outer_product(loss: Module) -> None:
    """The Hessian of the softmax loss is diag(p), without − p pᵀ."""

    def curvature(self: Any, outputs: torch.Tensor, y: torch.Tensor) -> Any:
        p = torch.softmax(outputs.double(), dim=1)
        return loss.DiagonalCurvature(p.sqrt(), (p - y) / p.sqrt(), torch.zeros_like(p))

    loss.SoftmaxCrossEntropyLoss.curvature = curvature


@plant("impl.loss", killed_by="gauss_newton_step_matches_the_oracle")
def softmax_halfway_to_its_hessian(loss: Module) -> None:
    """The root of the softmax Hessian is diag(√p) − √p pᵀ instead of diag(√p) − p √pᵀ: transposed."""
    correct = loss.SoftmaxCrossEntropyLoss.curvature

    def curvature(self: Any, outputs: torch.Tensor, y: torch.Tensor) -> Any:
        right = correct(self, outputs, y)
        right._root = right._root.transpose(1, 2)
        return right

    loss.SoftmaxCrossEntropyLoss.curvature = curvature


@plant("impl.loss", killed_by=GRADIENTS)
def labels_zero_and_one(loss: Module) -> None:
    """The gradient of the logistic loss is that for labels 0 and 1: σ(f) − y."""
    loss.LogisticLoss.gradient = lambda self, f, y: torch.sigmoid(f.double()) - y


@plant("impl.loss", killed_by="gauss_newton_step_matches_the_oracle")
def logistic_hessian_with_a_wrong_sign(loss: Module) -> None:
    """The logistic residual is whitened by e^(y f/2) instead of e^(−y f/2)."""
    correct = loss.LogisticLoss.curvature

    def curvature(self: Any, outputs: torch.Tensor, y: torch.Tensor) -> Any:
        right = correct(self, outputs, y)
        right.whitened = -y * torch.exp(y * outputs.double() / 2)
        return right

    loss.LogisticLoss.curvature = curvature


@plant("impl.loss", killed_by=GRADIENTS)
def logistic_without_a_margin(loss: Module) -> None:
    """The gradient of the logistic loss is −y·σ(−f): right for the label 1 only."""
    loss.LogisticLoss.gradient = lambda self, f, y: -y.double() * torch.sigmoid(-f.double())


@plant("impl.loss", killed_by=GRADIENTS)
def huber_is_never_clipped(loss: Module) -> None:
    """The gradient of the Huber loss is not clipped beyond 1."""
    loss.HuberLoss.gradient = lambda self, f, y: f.double() - y.double()


@plant("impl.loss", killed_by="gauss_newton_step_matches_the_oracle")
def huber_is_curved_everywhere(loss: Module) -> None:
    """The Hessian of the Huber loss is 1 beyond its edge, too."""
    loss.HuberLoss.curvature = lambda self, f, y: loss.UnitCurvature(self.gradient(f, y))


@plant("reference.loss", ORACLE, killed_by=GRADIENTS + "report_describes_the_step " + STEPS)
def softmax_overflows(loss: Module) -> None:
    """Softmax without subtracting the largest output: e^f overflows where a logit is large."""
    loss.softmax = lambda f, axis: np.exp(f) / np.exp(f).sum(axis=axis, keepdims=True)


@plant("reference.loss", ORACLE, killed_by="report_describes_the_step")
def logistic_value_overflows(loss: Module) -> None:
    """The logistic loss is log(1 + e^(−y f)) as it is written, infinite where a margin is very negative."""
    correct = loss.value
    loss.value = lambda name, f, y: (
        float(np.log(1.0 + np.exp(-y * f)).sum()) if name == "logistic" else correct(name, f, y)
    )


@plant("properties.examples.numpy_dense", NUMPY, killed_by="report_describes_the_step")
def loss_after_the_step(dense: Module) -> None:
    """The report has the loss after the step."""
    correct = dense.DenseNetwork.step

    def step(self: Any, X: Any, y: Any, **options: Any) -> Any:
        report = correct(self, X, y, **options)
        f = self._trace(X)[2]
        residual = f - dense.targets("y", y, len(f), f.shape[1], self._dtype)
        return dense.StepReport(0.5 * float((residual**2).sum()), {}, 0, 0, report.dead_samples, report.active_counts)

    dense.DenseNetwork.step = step
