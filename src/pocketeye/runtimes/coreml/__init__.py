"""Write Core ML packages: converted here, run on a Mac."""
