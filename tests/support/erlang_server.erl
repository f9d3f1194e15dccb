%% SPDX-License-Identifier: MIT
%%
%% A web server as people write one with gen_tcp. Usage: erlang_server:start(PORT, BACKEND), where the
%% backend is inet (a driver in C) or socket (Erlang's newer one). Answers each client with its address.
-module(erlang_server).
-export([start/2]).

start(Port, Backend) ->
    {ok, Listener} = gen_tcp:listen(Port, [{inet_backend, Backend}, binary, {active, false}, {packet, http_bin},
                                           {reuseaddr, true}, {nodelay, true}, {backlog, 128}]),
    accept(Listener).

accept(Listener) ->
    {ok, Client} = gen_tcp:accept(Listener),
    Server = spawn(fun() -> receive go -> answer(Client) end end),
    ok = gen_tcp:controlling_process(Client, Server),
    Server ! go,
    accept(Listener).

answer(Client) ->
    case gen_tcp:recv(Client, 0) of
        {ok, http_eoh} ->
            {ok, {Address, Port}} = inet:peername(Client),
            Body = [inet:ntoa(Address), " ", integer_to_list(Port), "\n"],
            gen_tcp:send(Client, ["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ",
                                  integer_to_list(iolist_size(Body)), "\r\n\r\n", Body]),
            gen_tcp:close(Client);
        {ok, _} -> answer(Client);
        {error, _} -> gen_tcp:close(Client)
    end.
