"""Families of forgeries: which kind of change a named method makes."""

from __future__ import annotations

from typing import Any

from base_models.naming import squeezed

FAMILIES = {
    "face swap": (
        "Deepfakes", "FaceSwap", "FaceShifter", "DeepFakeDetection", "FF-DF", "FF-FS",
        "FF-FH", "DFD_fake", "Celeb-synthesis", "CelebDFv1_fake", "CelebDFv2_fake",
        "method_A", "method_B", "dfl", "DeepFaceLab", "dffs", "fsgan", "SimSwap",
        "InSwapper", "Roop", "BlendFace", "MobileFaceSwap", "UniFace", "E4S",
    ),
    "reenactment": (
        "Face2Face", "NeuralTextures", "FF-F2F", "FF-NT", "fo", "FOMM",
        "First Order Motion", "LIA", "DaGAN", "TPSMM", "MCNet", "facevid2vid",
        "HyperReenact", "LivePortrait", "X-Portrait", "AniPortrait",
    ),
    "talking head": (
        "audio-driven", "Wav2Lip", "SadTalker", "MakeItTalk", "PC-AVS", "ATFHP",
        "HeyGen", "StyleHEAT", "VideoReTalking", "LatentSync", "EchoMimic", "Hallo", 
        "MuseTalk",
    ),
    "whole synthesis": (
        "StyleGAN", "StyleGAN2", "StyleGAN3", "StyleGAN-XL", "VQGAN", "DDPM", "ADM",
        "DiT", "SiT", "PixArt", "Stable Diffusion", "MidJourney", "RDDM", "Sora",
        "MuseV",
    ),
}  # fmt: skip
_FAMILY_OF = {
    squeezed(method): family
    for family, methods in FAMILIES.items()
    for method in methods
}


def family_of(method: Any) -> str | None:
    """Return the family of a method by its name, None for one that is not listed.

    Parameters
    ----------
    method : str or None
        In any case, with or without hyphens and spaces.

    Returns
    -------
    str or None
        face swap, reenactment, talking head or whole synthesis.

    Examples
    --------
    >>> family_of("NeuralTextures"), family_of("wav2lip"), family_of("none")
    ('reenactment', 'talking head', None)
    """
    return _FAMILY_OF.get(squeezed(method))
