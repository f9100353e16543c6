"""The hidden true park: what the virtual plant's instruments measure.

No clock, no socket: `connectors.plant.physics.truth.Truth` is advanced to a time and read there.
Its parameters differ from the park file's by seeded factors that nobody else is told, and it
shares no equation with the models of the twin, so that a calibration has something to find.
"""
