"""Follow objects through a video: the session, its memory, its prompts."""
