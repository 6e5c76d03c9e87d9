"""Galaxy10's file, what valid images and labels are, and the split."""
