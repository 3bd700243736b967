"""Speech to text: what is said in the sounds people attach."""
