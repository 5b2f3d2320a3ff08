"""Who a user is: accounts, passwords, login links, tokens, the sign-in limit."""
