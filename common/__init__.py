"""What the transfer scripts share: skeletons, cameras, loaders, the diffusion lifter and its adaptation."""
