"""Skills: folders of instructions an agent reads when a job needs them."""
