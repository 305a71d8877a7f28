"""How well the features of each vision encoder, and of their fusion, tell spatial relations apart.

``samples`` chooses true statements, ``pooling`` turns boxes into weights of tokens, ``features`` describes each
statement by one vector per source, ``figures`` measures how far relations lie apart, ``maps`` lays them out in two
dimensions, ``show`` draws, and ``run`` does it all.
"""
