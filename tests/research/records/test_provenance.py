import json

import torch

from embargo.research.records.provenance import computed_apart, processor


def test_the_processor_is_told_by_features_and_kernels():
    told = processor()
    assert json.loads(json.dumps(told)) == told
    assert told["torch"] == torch.backends.cpu.get_cpu_capability()
    assert told["features"].split()
    assert all(name.split()[0] in ("openblas", "mkl", "blis", "flexiblas") for name in told["kernels"])
    assert computed_apart(told, told) == []
    assert len(computed_apart(told, told | {"features": "none", "torch": "none"})) == 2
