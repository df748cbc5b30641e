import cv2
import numpy as np
import pytest

from base_models.landmarks import encode_faces, image_landmarks


@pytest.mark.slow
def test_two_photographs_of_one_person_are_encoded_alike():
    data = pytest.importorskip("skimage.data")
    faces = [
        data.astronaut()[0:230, 110:340],
        np.fliplr(data.astronaut())[0:230, 172:402],
    ]
    faces += [data.lfw_subset()[7]]
    faces[2] = np.repeat(np.uint8(255 * faces[2] / faces[2].max())[..., None], 3, 2)
    images = np.stack([cv2.resize(face, (256, 256)) for face in faces])
    codes = encode_faces(images, np.array(image_landmarks(images, 1.6)))
    assert codes.shape == (3, 128)
    same, other = (np.linalg.norm(codes[0] - codes[i]) for i in (1, 2))
    assert same < 0.4 < other
