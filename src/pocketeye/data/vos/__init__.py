"""Read videos with masks of objects: DAVIS, YouTube-VOS, MOSE, SA-V."""
