"""Networks built by hand in the layouts of timm and torchvision: their parts, names and habits."""

import torch
from torch import nn


class DropPath(nn.Module):
    """timm's stochastic depth: nothing in eval mode."""

    def __init__(self, rate=0.2):
        super().__init__()
        self.rate = rate

    def forward(self, x):
        if self.rate == 0.0 or not self.training:
            return x
        kept = x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(1 - self.rate)
        return x * kept / (1 - self.rate)


class BatchNormAct2d(nn.BatchNorm2d):
    """timm's norm with its activation: a BatchNorm2d by inheritance that computes by itself."""

    def __init__(self, channels, act=nn.SiLU):
        super().__init__(channels)
        self.drop = nn.Identity()
        self.act = act(inplace=True) if act else nn.Identity()
        nn.init.uniform_(self.weight, 0.5, 1.5)
        nn.init.uniform_(self.running_var, 0.5, 1.5)

    def forward(self, input):
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        x = nn.functional.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )
        return self.act(self.drop(x))


class SqueezeExcite(nn.Module):
    def __init__(self, channels, reduced):
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, reduced, 1)
        self.act1 = nn.SiLU(inplace=True)
        self.conv_expand = nn.Conv2d(reduced, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x):
        squeezed = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.conv_expand(self.act1(self.conv_reduce(squeezed))))


class InvertedResidual(nn.Module):
    def __init__(self, inner, outer, expansion=2, stride=1):
        super().__init__()
        middle = inner * expansion
        self.has_skip = inner == outer and stride == 1
        self.conv_pw = nn.Conv2d(inner, middle, 1, bias=False)
        self.bn1 = BatchNormAct2d(middle)
        self.conv_dw = nn.Conv2d(middle, middle, 3, stride, 1, groups=middle, bias=False)
        self.bn2 = BatchNormAct2d(middle)
        self.aa = nn.Identity()
        self.se = SqueezeExcite(middle, 4)
        self.conv_pwl = nn.Conv2d(middle, outer, 1, bias=False)
        self.bn3 = BatchNormAct2d(outer, act=None)
        self.drop_path = DropPath()

    def forward(self, x):
        shortcut = x
        x = self.se(self.aa(self.bn2(self.conv_dw(self.bn1(self.conv_pw(x))))))
        x = self.bn3(self.conv_pwl(x))
        return self.drop_path(x) + shortcut if self.has_skip else x


class SelectAdaptivePool2d(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten(1)

    def forward(self, x):
        return self.flatten(self.pool(x))


class TimmEfficientNet(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.bn1 = BatchNormAct2d(8)
        self.blocks = nn.Sequential(
            nn.Sequential(InvertedResidual(8, 8), InvertedResidual(8, 8)),
            nn.Sequential(InvertedResidual(8, 12, stride=2)),
        )
        self.conv_head = nn.Conv2d(12, 24, 1, bias=False)
        self.bn2 = BatchNormAct2d(24)
        self.global_pool = SelectAdaptivePool2d()
        self.drop_rate = 0.2
        self.classifier = nn.Linear(24, classes)

    def forward_features(self, x):
        return self.bn2(self.conv_head(self.blocks(self.bn1(self.conv_stem(x)))))

    def forward_head(self, x):
        x = nn.functional.dropout(self.global_pool(x), self.drop_rate, self.training)
        return self.classifier(x)

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


def norm(channels):
    """A norm as after training: the older exporter writes equal tensors once."""
    made = nn.BatchNorm2d(channels)
    nn.init.uniform_(made.weight, 0.5, 1.5)
    nn.init.uniform_(made.running_var, 0.5, 1.5)
    return made


class BasicBlock(nn.Module):
    def __init__(self, inner, outer, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = norm(outer)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = norm(outer)
        self.downsample = None
        if inner != outer:
            down = nn.Conv2d(inner, outer, 1, stride, bias=False)
            self.downsample = nn.Sequential(down, norm(outer))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += identity
        return self.relu(out)


class TorchvisionResNet(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1 = norm(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(8, 8), BasicBlock(8, 8))
        self.layer2 = nn.Sequential(BasicBlock(8, 16, 2), BasicBlock(16, 16))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(16, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class SqueezeExcitation(nn.Module):
    """torchvision's, of MobileNetV3."""

    def __init__(self, channels, reduced):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, reduced, 1)
        self.fc2 = nn.Conv2d(reduced, channels, 1)
        self.activation = nn.ReLU()
        self.scale_activation = nn.Hardsigmoid()

    def forward(self, x):
        return x * self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))


class StochasticDepth(DropPath):
    """torchvision's, of EfficientNet and ConvNeXt."""


def conv_norm(inner, outer, kernel=3, stride=1, groups=1, act=nn.Hardswish):
    padding = (kernel - 1) // 2
    conv = nn.Conv2d(inner, outer, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(conv, norm(outer), *([act(inplace=True)] if act else []))


class MobileBlock(nn.Module):
    def __init__(self, inner, outer, stride):
        super().__init__()
        self.block = nn.Sequential(
            conv_norm(inner, 2 * inner, 1),
            conv_norm(2 * inner, 2 * inner, 5, stride, groups=2 * inner),
            SqueezeExcitation(2 * inner, 8),
            conv_norm(2 * inner, outer, 1, act=None),
        )
        self.use_res_connect = stride == 1 and inner == outer
        self.stochastic_depth = StochasticDepth()

    def forward(self, x):
        found = self.block(x)
        return x + self.stochastic_depth(found) if self.use_res_connect else found


class TorchvisionMobileNet(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        blocks = MobileBlock(8, 8, 1), MobileBlock(8, 12, 2)
        self.features = nn.Sequential(conv_norm(3, 8, stride=2), *blocks, conv_norm(12, 24, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(24, 32), nn.Hardswish(inplace=True), nn.Dropout(0.2), nn.Linear(32, classes)
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
