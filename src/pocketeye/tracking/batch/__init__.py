"""Many videos in one job: what is found by a name, where its results go, how a job goes on."""
