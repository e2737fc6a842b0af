"""Write what was found in images in the layouts of annotation tools."""
