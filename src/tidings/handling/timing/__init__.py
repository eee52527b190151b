"""What is to happen later, and every so often: delays, schedules, and the chore that fires what is due."""
