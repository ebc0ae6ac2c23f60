"""report.html and the pictures: what a sweep found, as one page that needs nothing else."""
