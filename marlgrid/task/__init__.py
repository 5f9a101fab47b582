"""What is learnt: action spaces, observations, rewards, opponents, and the task that puts them together."""
