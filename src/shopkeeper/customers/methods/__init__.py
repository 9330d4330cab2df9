"""Pure: arrays about customers in, numbers about customers out. The plainest method of each question stands first."""
