"""What computes for a session: a network in torch, or an exported artefact, behind one interface."""
