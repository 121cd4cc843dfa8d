"""Each cell against its equations, written out number by number."""

import math

import pytest
import torch

from rnnrec_model.recurrent.cells import CELLS, scan


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


X, H, C, U, B = 0.3, 0.5, -0.4, 0.7, 0.1  # input share, hidden, memory, recurrent weight, bias


def run(name, gates, state):
    """One step of one unit; every gate sees the same input share, weight and bias."""
    x = torch.full((1, 1, gates), X, dtype=torch.float64)
    weight = torch.full((1, gates), U, dtype=torch.float64)
    bias = torch.full((gates,), B, dtype=torch.float64)
    hidden, after = scan(name, x, torch.tensor(state, dtype=torch.float64).view(-1, 1, 1), weight, bias)
    return hidden.item(), after.flatten().tolist()


def test_elman_is_a_squashed_sum():
    assert run("rnn_tanh", 1, [H])[0] == pytest.approx(math.tanh(X + U * H + B))
    assert run("rnn_relu", 1, [-3.0])[0] == 0.0
    assert run("rnn_relu", 1, [H])[0] == pytest.approx(X + U * H + B)


def test_gru_moves_from_the_new_value_towards_the_old_by_its_update_gate():
    from_state = U * H + B
    reset = update = sigmoid(X + from_state)
    new = math.tanh(X + reset * from_state)
    assert run("gru", 3, [H])[0] == pytest.approx(new + update * (H - new))


def test_lstm_keeps_a_memory_beside_its_hidden_state():
    gate = sigmoid(X + U * H + B)
    memory = gate * C + gate * math.tanh(X + U * H + B)
    hidden, (kept_hidden, kept_memory) = run("lstm", 4, [H, C])
    assert hidden == kept_hidden == pytest.approx(gate * math.tanh(memory))
    assert kept_memory == pytest.approx(memory)


def test_mingru_gates_do_not_see_the_state():
    update = sigmoid(X + B)
    assert run("mingru", 2, [H])[0] == pytest.approx(H + update * ((X + B) - H))


def random_case(name, steps=4, lanes=3, units=2):
    random = torch.Generator().manual_seed(0)
    cell = CELLS[name]
    shapes = (
        (steps, lanes, cell.gates * units),
        (cell.states, lanes, units),
        (units, cell.gates * units),
        (cell.gates * units,),
    )
    return [torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("name", CELLS)
def test_running_on_from_a_carried_state_is_running_through(name):
    x, state, weight, bias = random_case(name)
    whole, last = scan(name, x, state, weight, bias)
    first, between = scan(name, x[:2], state, weight, bias)
    second, end = scan(name, x[2:], between, weight, bias)
    assert torch.equal(whole, torch.cat((first, second)))
    assert torch.equal(last, end)


@pytest.mark.parametrize("name", CELLS)
def test_gradients_agree_with_finite_differences(name):
    case = [tensor.requires_grad_() for tensor in random_case(name)]
    used = [0, 1, 2, 3] if CELLS[name].recurrent else [0, 1, 3]

    def hidden(*arguments):
        full = dict(zip(used, arguments, strict=True))
        return scan(name, *(full.get(i, case[i].detach()) for i in range(4)))[0]

    assert torch.autograd.gradcheck(hidden, [case[i] for i in used])


@pytest.mark.parametrize("lanes", [1, 3, 700])
@pytest.mark.parametrize("name", ["gru", "mingru"])
def test_a_cell_over_time_is_its_steps_and_so_are_its_gradients(name, lanes):
    """With 700 lanes a block of the GRU's backward pass holds one step, with 1 all of them."""
    random, gates = torch.Generator().manual_seed(1), CELLS[name].gates
    shapes = ((6, lanes, 24 * gates), (1, lanes, 24), (24, 24 * gates), (24 * gates,))
    case = [torch.randn(shape, generator=random, dtype=torch.float64).requires_grad_() for shape in shapes]
    x, state, weight, bias = case
    by_step, at = [], state
    for gate in x:
        at = CELLS[name].step(gate, at, weight, bias)
        by_step.append(at[0])
    hidden, last = scan(name, *case)
    torch.testing.assert_close(hidden, torch.stack(by_step))
    torch.testing.assert_close(last, at)
    outer = torch.randn(hidden.shape, generator=random, dtype=torch.float64)
    used = case if CELLS[name].recurrent else [x, state, bias]
    ours = torch.autograd.grad((hidden * outer).sum(), used)
    theirs = torch.autograd.grad((torch.stack(by_step) * outer).sum(), used)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
