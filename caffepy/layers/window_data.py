"""WindowData: windows cut out of images, for detectors such as R-CNN."""

from __future__ import annotations

import logging

from caffepy.data.transform import Transform
from caffepy.data.window_file import read_window_file
from caffepy.data.window_reader import WindowImages, WindowReader, cached_bytes, window_settings
from caffepy.errors import DataError
from caffepy.layer import register_layer
from caffepy.layers._batches import BatchLayer

__all__ = ["WindowData"]

_log = logging.getLogger("caffepy")


@register_layer("WindowData")
class WindowData(BatchLayer):
    """Batches of windows of images, drawn at random (Caffe's window_data_layer.cpp).

    ``source`` is a window file, whose form `caffepy.data.window_file.read_window_file` says; ``root_folder`` is put
    before its paths. Tops: data, (N, 3, s, s), N = window_data_param.batch_size, s = transform_param.crop_size; labels,
    (N,), 0 for background. The last fg_fraction of a batch are windows that overlap by fg_threshold or more with what
    they show, the others overlap by less than bg_threshold. crop_mode "warp" stretches a window to the crop, "square"
    keeps its proportions; context_pad adds that many pixels of its surroundings on each side.

    As in Caffe 1.0 mirror and the mean are those of transform_param, and the factor after subtracting the mean is
    window_data_param.scale: transform_param.scale has no effect. What a pass shows is a function of its number alone.

    Raises:
        DataError: a window file or setting that does not fit; in forward, more bad images than allowed.
    """

    tops = (2, 2)

    def open(self) -> WindowReader:
        param, options = self.param.window_data_param, self.context.data
        transform = Transform(self.param.transform_param, self.phase, self.context.seed, self.name, self.where)
        if transform.scale != 1:
            _log.warning("layer '%s': WindowData takes scale from window_data_param, as Caffe does.", self.name)
        if param.crop_mode not in ("warp", "square"):
            _log.warning("layer '%s': crop_mode '%s' is neither warp nor square: warp.", self.name, param.crop_mode)
        with self.named(DataError):
            settings = window_settings(param, transform)
            file = read_window_file(param.source, param.fg_threshold, param.bg_threshold)
            if param.cache_images:
                self.take_host_memory(cached_bytes(file.images, param.root_folder), "image files in memory")
            images = WindowImages(file.images, param.root_folder, cache=param.cache_images)
        return WindowReader(
            file,
            images,
            settings,
            seed=self.context.seed,
            layer_name=self.name,
            where=str(self.error("")),
            prefetch=self.param.data_param.prefetch,
            threads=options.threads or None,
            max_bad_records=options.max_bad_records,
            allocate=self.batch_memory(),
        )
