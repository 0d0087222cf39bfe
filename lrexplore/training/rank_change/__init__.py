"""Ranks that change while a run trains: from an unfactorized network to factors, and to fewer of them."""
