"""Where a shop is kept and what runs over it: segments and tables, one manifest that names them, one engine."""
