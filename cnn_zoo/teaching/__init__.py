"""What the notebooks say things with: claims, exercises, repeated trainings, figures and widgets."""
