"""What restoration is compared with: filters of scikit-image and Pillow, each told the noise's strength where it asks."""
import numpy as np
from PIL import Image


def nonLocalMeans(degraded, sigma):
    """Buades et al. 2005; [H, W, 3] in 0 to 1. h and the patches as scikit-image's documentation advises."""
    from skimage.restoration import denoise_nl_means
    return denoise_nl_means(degraded, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, fast_mode=True,
                            channel_axis=2)


def bilateral(degraded, sigma):
    """Tomasi and Manduchi 1998; the two widths that did best on noisy photos."""
    from skimage.restoration import denoise_bilateral
    return denoise_bilateral(np.clip(degraded, 0, 1), sigma_color=1.5 * max(sigma, 0.01), sigma_spatial=1,
                             mode="edge", channel_axis=2)


def estimatedSigma(degraded):
    """Donoho and Johnstone 1994: the median wavelet coefficient, the mean of the channels."""
    from skimage.restoration import estimate_sigma
    return float(estimate_sigma(degraded, channel_axis=2, average_sigmas=True))


def lanczos(clean, factor):
    """[H, W, 3] bytes: down by Pillow's bicubic filter, as the degradation does, and up by Lanczos."""
    height, width = clean.shape[:2]
    small = Image.fromarray(clean).resize((-(-width // factor), -(-height // factor)), Image.BICUBIC)
    return np.asarray(small.resize((width, height), Image.LANCZOS))


def baselines(kind, parameters, clean, degraded):
    """Name -> [H, W, 3] in 0 to 1. `degraded` the same, not clipped; bicubic itself is what those are given."""
    if kind in ("bicubic", "area"):
        return {"Lanczos": lanczos(clean, parameters["factor"]) / 255} if kind == "bicubic" else {}
    sigma = parameters["sigma"] / 255 if kind == "gaussian" else estimatedSigma(degraded)
    return {"non-local means": nonLocalMeans(degraded, sigma), "bilateral": bilateral(degraded, sigma)}
