"""Trains small diffusion UNets, distils them to a few steps, exports them in diffusers layout and measures them."""
