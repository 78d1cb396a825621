"""Fields and layer types that forks of Caffe added: which fork a file that uses one was written for."""

from __future__ import annotations

__all__ = ["FORK_FIELDS", "FORK_LAYERS", "fork_of", "fork_of_layer"]

_SSD = "SSD (weiliu89/caffe, branch ssd)"
_SEGNET = "SegNet (alexgkendall/caffe-segnet)"
_FRCNN = "Faster R-CNN (rbgirshick/caffe-fast-rcnn) and Detectron's nets"
_RFCN = "R-FCN (daijifeng001/caffe-rfcn)"
_NVIDIA = "NVIDIA's Caffe (NVIDIA/caffe)"
_INTEL = "Intel's Caffe (intel/caffe)"
_DEEPLAB = "DeepLab (xmyqsh/deeplab-v2 and relatives)"
_FLOWNET = "FlowNet 2.0 (lmb-freiburg/flownet2)"
_OPENPOSE = "OpenPose's training Caffe (CMU-Perceptual-Computing-Lab/caffe_train)"
_RISTRETTO = "Ristretto (pmgysel/caffe)"
_CUHK = "yjxiong/caffe"
_YOLO = "a YOLO fork of Caffe"
_SHUFFLE = "ShuffleNet's layer (farmingyard/ShuffleNet)"
_ICNET = "PSPNet and ICNet (hszhao/PSPNet)"
_FACE = "caffe-face (ydwen/caffe-face)"
_SPHERE = "SphereFace (wy1iu/sphereface)"
_WINDOWS = "caffe-windows (happynear/caffe-windows)"
_CRFRNN = "CRF-RNN (torrvision/crfasrnn)"
_TRANSFORMER = "the Spatial Transformer layer (daerduoCarey/SpatialTransformerLayer)"
_DEFORMABLE = "Deformable ConvNets (unsky/Deformable-ConvNets-caffe)"
_TRIPLET = "one of the triplet-loss forks of Caffe"

FORK_FIELDS: dict[str, str] = {
    "LayerParameter.annotated_data_param": _SSD,
    "LayerParameter.detection_evaluate_param": _SSD,
    "LayerParameter.detection_output_param": _SSD,
    "LayerParameter.multibox_loss_param": _SSD,
    "LayerParameter.norm_param": _SSD,
    "LayerParameter.permute_param": _SSD,
    "LayerParameter.prior_box_param": _SSD,
    "LayerParameter.video_data_param": f"{_SSD} or {_CUHK}",
    "LossParameter.ignore_different_label": _SSD,
    "TransformationParameter.distort_param": _SSD,
    "TransformationParameter.emit_constraint": _SSD,
    "TransformationParameter.expand_param": _SSD,
    "TransformationParameter.noise_param": _SSD,
    "TransformationParameter.resize_param": _SSD,
    "TransformationParameter.crop_h": _SSD,
    "TransformationParameter.crop_w": _SSD,
    "SolverParameter.eval_type": _SSD,
    "SolverParameter.ap_version": _SSD,
    "SolverParameter.show_per_class_result": _SSD,
    "SolverParameter.plateau_winsize": _SSD,
    "LayerParameter.bn_param": f"{_SEGNET} or {_CUHK}",
    "LayerParameter.upsample_param": _SEGNET,
    "LayerParameter.dense_image_data_param": _SEGNET,
    "SoftmaxParameter.class_weighting": _SEGNET,
    "LossParameter.weight_by_label_freqs": _SEGNET,
    "LossParameter.class_weighting": _SEGNET,
    "LayerParameter.roi_pooling_param": _FRCNN,
    "LayerParameter.smooth_l1_loss_param": _FRCNN,
    "DropoutParameter.scale_train": _FRCNN,
    "LayerParameter.psroi_pooling_param": _RFCN,
    "LayerParameter.box_annotator_ohem_param": _RFCN,
    "LayerParameter.forward_type": _NVIDIA,
    "LayerParameter.backward_type": _NVIDIA,
    "LayerParameter.forward_math": _NVIDIA,
    "LayerParameter.backward_math": _NVIDIA,
    "LayerParameter.cudnn_math_override": _NVIDIA,
    "LayerParameter.debug": _NVIDIA,
    "LayerParameter.detectnet_groundtruth_param": _NVIDIA,
    "LayerParameter.detectnet_augmentation_param": _NVIDIA,
    "BatchNormParameter.scale_bias": _NVIDIA,
    "BatchNormParameter.scale_filler": _NVIDIA,
    "BatchNormParameter.bias_filler": _NVIDIA,
    "ConvolutionParameter.conv_algos_override": _NVIDIA,
    "ConvolutionParameter.cudnn_convolution_algo_seeker": _NVIDIA,
    "DataParameter.threads": _NVIDIA,
    "DataParameter.parser_threads": _NVIDIA,
    "DataParameter.cache": _NVIDIA,
    "TransformationParameter.img_rand_resize_lower": _NVIDIA,
    "TransformationParameter.img_rand_resize_upper": _NVIDIA,
    "TransformationParameter.use_gpu_transform": _NVIDIA,
    "NetParameter.default_forward_type": _NVIDIA,
    "NetParameter.default_backward_type": _NVIDIA,
    "NetParameter.default_forward_math": _NVIDIA,
    "NetParameter.default_backward_math": _NVIDIA,
    "NetParameter.global_grad_scale": _NVIDIA,
    "SolverParameter.larc": _NVIDIA,
    "SolverParameter.larc_eta": _NVIDIA,
    "SolverParameter.larc_policy": _NVIDIA,
    "SolverParameter.min_lr": _NVIDIA,
    "SolverParameter.rampup_interval": _NVIDIA,
    "SolverParameter.rampup_lr": _NVIDIA,
    "SolverParameter.store_blobs_in_old_format": _NVIDIA,
    "SolverParameter.solver_data_type": _NVIDIA,
    "LayerParameter.engine": _INTEL,
    "NetParameter.engine": _INTEL,
    "NetParameter.bn_stats_batch_size": _INTEL,
    "SolverParameter.engine": _INTEL,
    "BatchNormParameter.engine": _INTEL,
    "EltwiseParameter.engine": _INTEL,
    "InnerProductParameter.engine": _INTEL,
    "PoolingParameter.avg_include_pad": _INTEL,
    "LayerParameter.quantization_param": f"{_INTEL} or {_RISTRETTO}",
    "ConvolutionParameter.hole": _DEEPLAB,
    "ConvolutionParameter.hole_h": _DEEPLAB,
    "ConvolutionParameter.hole_w": _DEEPLAB,
    "PoolingParameter.hole": _DEEPLAB,
    "LayerParameter.interp_param": f"{_DEEPLAB}, or {_ICNET}",
    "LayerParameter.seg_accuracy_param": _DEEPLAB,
    "ImageDataParameter.label_type": _DEEPLAB,
    "LayerParameter.correlation_param": _FLOWNET,
    "LayerParameter.flow_warp_param": _FLOWNET,
    "LayerParameter.augmentation_param": _FLOWNET,
    "LayerParameter.coeff_schedule_param": _FLOWNET,
    "LayerParameter.resample_param": _FLOWNET,
    "LayerParameter.l1_loss_param": _FLOWNET,
    "LayerParameter.reshape_id_param": _FLOWNET,
    "LayerParameter.cpm_transform_param": _OPENPOSE,
    "LayerParameter.op_transform_param": _OPENPOSE,
    "LayerParameter.cpm_data_param": _OPENPOSE,
    "LayerParameter.reorg_param": _YOLO,
    "LayerParameter.region_loss_param": _YOLO,
    "LayerParameter.detection_loss_param": _YOLO,
    "LayerParameter.eval_detection_param": _YOLO,
    "LayerParameter.box_data_param": _YOLO,
    "LayerParameter.shuffle_channel_param": _SHUFFLE,
    "LayerParameter.center_loss_param": _FACE,
    "LayerParameter.margin_inner_product_param": _SPHERE,
    "LayerParameter.normalize_param": _WINDOWS,
    "LayerParameter.general_contrastive_loss_param": _WINDOWS,
    "LayerParameter.multi_stage_meanfield_param": _CRFRNN,
    "LayerParameter.st_param": _TRANSFORMER,
    "LayerParameter.deformable_convolution_param": _DEFORMABLE,
    "LayerParameter.triplet_loss_param": _TRIPLET,
}

FORK_LAYERS: dict[str, str] = {
    "AnnotatedData": _SSD,
    "DetectionEvaluate": _SSD,
    "DetectionOutput": _SSD,
    "MultiBoxLoss": _SSD,
    "Normalize": f"{_SSD} or {_WINDOWS}",
    "Permute": _SSD,
    "PriorBox": _SSD,
    "VideoData": f"{_SSD} or {_CUHK}",
    "BN": f"{_SEGNET} or {_CUHK}",
    "DenseImageData": _SEGNET,
    "Upsample": _SEGNET,
    "ROIPooling": _FRCNN,
    "SmoothL1Loss": _FRCNN,
    "BoxAnnotatorOHEM": _RFCN,
    "PSROIPooling": _RFCN,
    "DetectNetTransformation": _NVIDIA,
    "L1Loss": f"{_NVIDIA} or {_FLOWNET}",
    "Interp": f"{_DEEPLAB}, or {_ICNET}",
    "MatRead": _DEEPLAB,
    "MatWrite": _DEEPLAB,
    "SegAccuracy": _DEEPLAB,
    "Correlation": _FLOWNET,
    "FlowWarp": _FLOWNET,
    "Resample": _FLOWNET,
    "CPMData": _OPENPOSE,
    "ImResize": _OPENPOSE,
    "Nms": _OPENPOSE,
    "BoxData": _YOLO,
    "EvalDetection": _YOLO,
    "RegionLoss": _YOLO,
    "Reorg": _YOLO,
    "ShuffleChannel": _SHUFFLE,
    "CenterLoss": _FACE,
    "MarginInnerProduct": _SPHERE,
    "MultiStageMeanfield": _CRFRNN,
    "SpatialTransformer": _TRANSFORMER,
    "DeformableConvolution": _DEFORMABLE,
    "TripletLoss": _TRIPLET,
}


def fork_of(message: str, field: str) -> str:
    """`` `norm_param` is a field of SSD (...).``, or the empty string for a field that no known fork has."""
    if message == "V1LayerParameter":
        message = "LayerParameter"
    fork = FORK_FIELDS.get(f"{message}.{field}")
    return f" '{field}' is a field of {fork}, a fork of Caffe." if fork else ""


def fork_of_layer(type_name: str) -> str:
    """`` It is a layer of SSD (...), a fork of Caffe, not of Caffe 1.0.``, or the empty string."""
    fork = FORK_LAYERS.get(type_name)
    return f" It is a layer of {fork}, a fork of Caffe, and not of Caffe 1.0." if fork else ""
