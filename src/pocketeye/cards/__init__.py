"""What is told about anything that was named: networks, trackers, runs, artefacts, data sets."""
