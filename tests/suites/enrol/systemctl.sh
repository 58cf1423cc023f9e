#!/bin/sh
# Plays systemd for the agent's one unit on a test host, which has none.
unit=/etc/systemd/system/longshore-agent.service
pid=/run/agent.pid
alive() { [ -f $pid ] && kill -0 "$(cat $pid)" 2>/dev/null; }
halt() {
  if alive; then
    kill "$(cat $pid)"
    while alive; do sleep 0.05; done
  fi
}
verb=
for word; do
  case $word in
    restart | start | stop | is-active | enable | daemon-reload | reset-failed) verb=$word ;;
  esac
done
case $verb in
  is-active) if alive; then echo active; else echo inactive; exit 3; fi ;;
  stop) halt ;;
  start | restart)
    halt
    rm -f $pid
    setsid sh -c "echo \$\$ >$pid; exec $(sed -n 's/^ExecStart=//p' $unit)" >>/var/log/agent.log 2>&1 </dev/null &
    until [ -s $pid ]; do sleep 0.02; done
    ;;
esac
