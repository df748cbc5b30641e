from .crops import (
    crop_face as crop_face,
    face_square as face_square,
)
from .dlib_finder import DlibFaceFinder as DlibFaceFinder
from .face import (
    Face as Face,
    FaceFinder as FaceFinder,
)
from .finders import (
    HaarFaceFinder as HaarFaceFinder,
    NoFaceError as NoFaceError,
    YuNetFaceFinder as YuNetFaceFinder,
)
from .haar_parts import (
    HaarCascade as HaarCascade,
    draw_haar_parts as draw_haar_parts,
    haar_parts as haar_parts,
)
