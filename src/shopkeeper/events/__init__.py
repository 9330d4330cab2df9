"""The one vocabulary for everything that goes in: the event table, its readers, its cleaning, pseudonyms, sessions."""
