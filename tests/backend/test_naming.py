from minikeras import backend as K


def test_each_prefix_is_counted_by_itself():
    assert [K.get_uid("dense"), K.get_uid("dense"), K.get_uid("dropout")] == [1, 2, 1]
    assert K.get_uid() == 1
    assert K.get_uid("") == 2


def test_reset_uids():
    K.get_uid("dense")
    K.reset_uids()
    assert K.get_uid("dense") == 1


def test_clear_session_starts_again():
    K.get_uid("dense")
    K.clear_session()
    assert K.get_uid("dense") == 1
