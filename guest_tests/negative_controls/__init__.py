"""The negative controls: a suite that cannot fail proves nothing, so each planted fault has to be noticed."""
