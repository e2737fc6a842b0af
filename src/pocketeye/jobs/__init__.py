"""Track many videos in one job: what is found by a name, where results go, how a job goes on."""
