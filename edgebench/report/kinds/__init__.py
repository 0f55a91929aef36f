"""The kinds of figures that a sweep file may ask for, one a file."""
