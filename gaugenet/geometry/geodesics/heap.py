"""A binary heap in two arrays, smallest key first (numba)."""

from __future__ import annotations

from ...compiled import njit


@njit(nogil=True, error_model="numpy", allocates=False)
def push(heap_key, heap_id, size, key, item):
    """Add to a binary min-heap with room; returns the new size."""
    i = size
    while i > 0:
        up = (i - 1) >> 1
        if heap_key[up] <= key:
            break
        heap_key[i] = heap_key[up]
        heap_id[i] = heap_id[up]
        i = up
    heap_key[i] = key
    heap_id[i] = item
    return size + 1


@njit(nogil=True, error_model="numpy", allocates=False)
def pop(heap_key, heap_id, size):
    """Remove the smallest; returns (key, item, new size)."""
    key, item = heap_key[0], heap_id[0]
    size -= 1
    last_key, last_id = heap_key[size], heap_id[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and heap_key[child + 1] < heap_key[child]:
            child += 1
        if heap_key[child] >= last_key:
            break
        heap_key[i] = heap_key[child]
        heap_id[i] = heap_id[child]
        i = child
    heap_key[i] = last_key
    heap_id[i] = last_id
    return key, item, size
