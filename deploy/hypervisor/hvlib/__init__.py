"""The implementation of build, install, confirm and remove."""
