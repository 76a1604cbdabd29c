"""What all measurements need: what to do, in which process, how to report it."""
