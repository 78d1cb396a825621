"""What a benchmark compares: modules with a class ``Side`` that ``tests/benchmarks/worker.py`` runs, one in a process.

A Side says ``facts`` of itself, and ``step()`` does once what is measured; if not all of its time counts,
it returns the seconds that do. ``parts()``, if it has that, gives more numbers of the last step by name.
"""

#: Images of the pass that all sides are compared by, before anything is timed.
CHECK_BATCH = 2
#: The learning rate: small, so that no net leaves the range of numbers that training has.
RATE = 1e-4
#: The file of first weights, in the folder that sides share.
WEIGHTS = "weights.npz"
#: The same weights as Caffe's own file, and what caffepy's pass gave.
CAFFEMODEL = "weights.caffemodel"
PROBABILITIES = "probabilities.npy"
#: What a batch of images is made with, and how many batches are timed together.
CROP, MEAN, BATCHES = 227, (104.0, 117.0, 123.0), 20
