"""The texts of figures, in English and in the Chinese terms of the field. Names from users are shown as they are."""

from collections.abc import Callable
from typing import Any

from ml.figures import Lang
from ml.figures.style import HAS_CHINESE

_TEXTS: dict[str, tuple[str, str]] = {
    # pictures
    "image": ("image: {name}", "影像：{name}"),
    "truth": ("truth", "真值"),
    "unlabelled": ("unlabelled", "未标注"),
    "before": ("{name}: before", "{name}：处理前"),
    "after": ("{name}: after", "{name}：处理后"),
    "errors": ("{name}: errors", "{name}：误差"),
    "omission error": ("omission: {name} missed", "漏分：未识别的{name}"),
    "commission error": ("commission: wrongly {name}", "错分：误判为{name}"),
    "channel": ("channel {number}", "通道 {number}"),
    "pixel value": ("value shown, 0 to 255", "显示值（0–255）"),
    "pixel share": ("share of pixels, %", "像元比例 / %"),
    "rejected": ("off by default", "默认关闭"),
    # augmentations
    "as it is": ("as it is", "原始样本"),
    "crop": ("random crop", "随机裁剪"),
    "flip": ("flip", "翻转"),
    "rotate": ("rotation", "旋转"),
    "translate": ("translation", "平移"),
    "scale": ("scaling", "缩放"),
    "affine": ("affine", "仿射变换"),
    "noise": ("noise", "加噪"),
    "colour_jitter": ("colour jitter", "颜色抖动"),
    "radiometry": ("radiometry", "辐射变化"),
    # class balance
    "balance": ("Labelled pixels by class", "各类别标注像元"),
    "before balancing": ("before balancing", "均衡前"),
    "after balancing": ("after balancing", "均衡后"),
    "no pixels": ("no labelled pixels", "无标注像元"),
    "pixels": ("{count:,} px", "{count:,} 像元"),
    "hectares": (", {area:,.1f} ha", "，{area:,.1f} 公顷"),
    "share": ("share of labelled pixels, %", "占标注像元比例 / %"),
    # losses
    "loss": ("total loss", "总损失"),
    "loss_ce": ("cross-entropy", "交叉熵"),
    "loss_lovasz_hinge": ("Lovász hinge", "Lovász 铰链损失"),
    "loss_lovasz_softmax": ("Lovász-Softmax", "Lovász-Softmax 损失"),
    "epoch": ("epoch", "训练轮次"),
    "training loss": ("training loss", "训练损失"),
    "validation": ("validation split", "验证集"),
    "best": ("best IoU: epoch {epoch}", "最佳交并比：第 {epoch} 轮"),
    "band": ("line: mean over seeds, band: lowest to highest", "线：各随机种子均值；带：最小至最大"),
    "margin": ("margin tF", "间隔 tF"),
    "loss value": ("loss of one pixel", "单像元损失"),
    "zero-one": ("0/1 loss", "0/1 损失"),
    "hinge": ("hinge, max(0, 1 − tF)", "铰链损失 max(0, 1 − tF)"),
    "logistic": ("cross-entropy, ln(1 + exp(−tF))", "交叉熵 ln(1 + exp(−tF))"),
    "wrong": ("wrong side", "误分"),
    "right": ("right side", "正确"),
    "surrogates": ("What one pixel costs", "单像元的代价"),
    "rank": ("rank of the error, largest first", "误差排序（由大到小）"),
    "weight": ("weight in the Lovász hinge", "Lovász 铰链损失中的权重"),
    "weights": (
        "How much each error counts ({pixels} pixels, {positives} of cane)",
        "各误差的权重（{pixels} 个像元，其中甘蔗 {positives} 个）",
    ),
    "cane pixel": ("cane pixel", "甘蔗像元"),
    "other pixel": ("other pixel", "其他像元"),
    # the net
    "net": (
        "U-Net: {bands} bands, depth {depth}, width {width}, outputs {outputs}",
        "U-Net：{bands} 个波段，深度 {depth}，首层通道数 {width}，输出 {outputs}",
    ),
    "input": ("input", "输入"),
    "encoder": ("encoder {level}", "编码器 {level}"),
    "bottom": ("bottom", "瓶颈层"),
    "up-conv": ("up-convolution {level}", "上卷积 {level}"),
    "decoder": ("decoder {level}", "解码器 {level}"),
    "output": ("output", "输出"),
    "total": ("total", "合计"),
    "layer": ("layer", "层"),
    "output shape": ("channels × rows × cols", "通道 × 行 × 列"),
    "parameters": ("parameters", "参数量"),
    "box": ("2 × (conv 3×3, BatchNorm, ReLU)", "2 ×（3×3 卷积、BatchNorm、ReLU）"),
    "boxes": ("in each box: channels, rows × cols", "方框内：通道数，行 × 列"),
    "pool": ("max-pool 2×2", "2×2 最大池化"),
    "up": ("up-convolution 2×2", "2×2 上卷积"),
    "skip": ("skip: copy and concatenate", "跳跃连接：复制并拼接"),
    "head": ("convolution 1×1", "1×1 卷积"),
    # comparison
    "accuracy": ("overall accuracy", "总体精度"),
    "short accuracy": ("OA", "总体精度"),
    "validation accuracy": ("validation accuracy", "验证精度"),
    "iou": ("IoU", "交并比"),
    "kappa": ("kappa", "Kappa 系数"),
    "precision": ("precision", "精确率"),
    "recall": ("recall", "召回率"),
    "f1": ("F1", "F1 分数"),
    "omission": ("omission", "漏分误差"),
    "commission": ("commission", "错分误差"),
    "boundary_iou": ("boundary IoU", "边界交并比"),
    "variant": ("variant", "方案"),
    "split": ("split", "数据划分"),
    "train": ("training", "训练集"),
    "val": ("validation", "验证集"),
    "test": ("test", "测试集"),
    "runs": ("runs", "次数"),
    "table note": (
        "mean ± standard deviation over seeds; best mean in bold",
        "各随机种子的均值 ± 标准差；最佳均值加粗",
    ),
    "points": ("difference in points (0.01)", "差值 / 百分点"),
    "interval": ("mean difference with 95 % interval", "平均差值及 95 % 置信区间"),
    "lovasz weight": ("weight of the Lovász loss", "Lovász 损失权重"),
    "seed": ("one seed", "单个随机种子"),
    "mean": ("mean of the seeds", "各种子均值"),
    "best mean": ("best mean {value:.4f} at {weight:g}", "最佳均值 {value:.4f}（权重 {weight:g}）"),
    # reliability
    "confidence": ("probability of the mapped class", "所判类别的概率"),
    "share right": ("share of pixels that are right", "正确像元比例"),
    "as sure as right": ("as sure as right", "概率与正确率一致"),
    "uncalibrated": ("before: ECE {ece:.3f}", "校准前：ECE {ece:.3f}"),
    "calibrated": ("after: ECE {ece:.3f}", "校准后：ECE {ece:.3f}"),
    "temperature": ("Reliability of the probabilities, temperature {value:.2f}", "概率的可靠性，温度 {value:.2f}"),
    # map sheets
    "scene": ("Scene", "影像"),
    "scenes": ("Scenes", "影像数"),
    "acquired": ("Acquired", "获取日期"),
    "model": ("Model", "模型"),
    "mapped on": ("Mapped on", "制图日期"),
    "sample": ("Sample", "抽样样本"),
    "sample points": ("{id}, {count} points with answers", "{id}，{count} 个有答案的样点"),
    "test split": ("Model on its test split", "模型测试精度"),
    "zone": ("zone", "区划"),
    "class": ("class", "类别"),
    "mapped ha": ("mapped, ha", "制图面积/公顷"),
    "mapped mu": ("mapped, mu", "制图面积/亩"),
    "estimated ha": ("indicative, ha", "参考面积/公顷"),
    "sampled ha": ("estimated, ha", "估算面积/公顷"),
    "ci95 ha": ("95 % interval", "95% 区间"),
    "indicative": (
        "indicative: from the map and the errors of the model on its test split, not from a sample of this ground",
        "参考面积：由地图和模型在测试集上的误差推算，并非来自本区域的抽样调查",
    ),
    "sampled": (
        "estimated: from a probability sample of points of this ground, labelled by people; mapped: pixels of the map",
        "估算面积：由本区域概率抽样、经人工判读的样点估算；制图面积：地图像元之和",
    ),
    "no estimate": ("sample {id} gives no estimate: {why}", "样本 {id} 无法给出估算：{why}"),
    "whole scene": ("whole scene", "整景"),
    "whole survey": ("whole survey", "全部范围"),
    "unobserved zones": (
        "{count} zones of which nothing was observed are left out",
        "没有观测数据的 {count} 个区划未列出",
    ),
    "more rows": ("{count} more rows: see the table of areas", "另有 {count} 行，见面积表"),
    "no data": ("nothing to show", "无数据"),
}


def words(lang: Lang) -> Callable[..., str]:
    """A function that returns the text of a key, with values filled in; a key without a text is returned as it is.

    Without a font that has Chinese, the texts are in English, since Chinese would appear as empty boxes.
    """
    column = 1 if lang == "zh" and HAS_CHINESE else 0

    def say(key: str, **values: Any) -> str:
        text = _TEXTS[key][column] if key in _TEXTS else key
        return text.format(**values) if values else text

    return say
