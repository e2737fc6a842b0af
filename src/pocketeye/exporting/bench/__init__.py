"""Time networks side by side, whole and operator by operator."""
