"""Read and write what annotation tools keep of images and videos: one file per layout."""
