from .collection import Views as Views
from .drawing import draw_images as draw_images
from .making import (
    followed_boxes as followed_boxes,
    iter_views as iter_views,
    make_views as make_views,
    stored_face as stored_face,
)
from .spec import (
    VIEWS as VIEWS,
    ViewRecipe as ViewRecipe,
)
from .view import View as View
