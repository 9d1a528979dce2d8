#!/bin/busybox sh
# udhcpc.sh - what udhcpc got, made the link's.  A renewal of the same address
# leaves it alone: connections are in use over it.
[ -n "$interface" ] || exit 1
here=/run/net/$interface
metric=$(cat "$here.started" 2>/dev/null)
case $1 in
deconfig)
	ip addr flush dev "$interface"
	ip link set "$interface" up
	rm -f "$here.address" "$here.dns"
	;;
bound | renew)
	[ "$(cat "$here.address" 2>/dev/null)" = "$ip/${mask:-24}" ] || {
		ip addr flush dev "$interface"
		ip addr add "$ip/${mask:-24}" dev "$interface"
	}
	for r in $router; do
		# A gateway outside of the network is reached by this link all the same.
		ip route add default via "$r" dev "$interface" metric "${metric:-200}" 2>/dev/null || {
			ip route add "$r" dev "$interface" metric "${metric:-200}" 2>/dev/null
			ip route add default via "$r" dev "$interface" metric "${metric:-200}" 2>/dev/null
		}
		break
	done
	: > "$here.dns"
	[ -z "$domain" ] || echo "search $domain" >> "$here.dns"
	for d in $dns; do echo "nameserver $d" >> "$here.dns"; done
	cat /run/net/*.dns > /etc/resolv.conf
	echo "$ip/${mask:-24}" > "$here.address"
	;;
esac
exit 0
