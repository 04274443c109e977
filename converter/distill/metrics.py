"""PSNR, SSIM, the Fréchet distance, precision and recall."""
import numpy as np
import torch


def psnr(found, wanted):
    """In dB, over all samples; both 0 to 255."""
    error = (found.double() - wanted.double()).square().mean().item()
    return 10 * np.log10(255.0 ** 2 / max(error, 1e-10))


def ssim(found, wanted):
    """scikit-image's, with the Gaussian window of Wang et al. 2004, the mean of the channels; [H, W, 3] bytes."""
    from skimage.metrics import structural_similarity
    return float(structural_similarity(wanted, found, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5,
                                       use_sample_covariance=False))


def frechet(a, b):
    """Heusel et al. 2017 between Gaussians fitted to features [N, F] and [M, F]."""
    a, b = a.double().numpy(), b.double().numpy()
    meanA, meanB, covA, covB = a.mean(0), b.mean(0), np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # trace of sqrt(A B) from the eigenvalues of the symmetric sqrt(A) B sqrt(A): real, no iteration to go astray
    values, vectors = np.linalg.eigh(covA)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    trace = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covB @ root), 0)).sum()
    return float(((meanA - meanB) ** 2).sum() + np.trace(covA) + np.trace(covB) - 2 * trace)


def precisionRecall(real, made, k=3):
    """Kynkäänniemi et al. 2019: the share of made features within the k-nearest-neighbour balls of real ones, and of real
    within those of made."""
    def within(points, centres):
        radius = torch.cdist(centres, centres).kthvalue(k + 1, dim=1).values  # the nearest is the point itself
        return (torch.cdist(points, centres) <= radius[None]).any(dim=1).double().mean().item()

    return within(made, real), within(real, made)
