"""The HTTP door: events in, answers out, in one process. Routes are read off the menu; the hot ones stand by hand."""
