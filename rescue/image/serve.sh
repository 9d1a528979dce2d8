# serve.sh - sourced by build.sh: from build/rescue the directory that holdfastd
# serves, with the CA inside, and the ISO.  Each file comes by a rename, all of them
# when all are there: a running server has the old image or the new one, and a kernel
# meets another's modules for a moment at most.
rm -rf "$cache/site" "$cache/out"
mkdir -p "$cache/site/etc/holdfast" "$cache/out/grub" "$out/grub"
# Only certificates: whatever else is in the file stays out.
sed -n '/-----BEGIN CERTIFICATE-----/,/-----END CERTIFICATE-----/p' "$ca" > "$cache/site/etc/holdfast/ca.pem"
printf '%s\n' "$server" > "$cache/site/etc/holdfast/server"
archive "$cache/site" > "$cache/site.img"
cat "$made/initrd.img" "$cache/site.img" > "$cache/out/initrd.img"
cp "$made/vmlinuz" "$made/modules.alias" "$cache/out/"
consoles='console=tty0 console=ttyS0,115200'
# For another HTTP or TFTP server; holdfastd makes its own for the name it was asked by.
cat > "$cache/out/boot.ipxe" <<END
#!ipxe
kernel vmlinuz initrd=initrd.img $consoles BOOTIF=01-\${netX/mac:hexhyp} holdfast.server=$server
initrd initrd.img
boot
END

# GRUB's menu for the ISO, and by network with the paths' prefix $1.
menu() {
	cat <<END
if serial --unit=0 --speed=115200; then
	terminal_input console serial
	terminal_output console serial
fi
set timeout=5
menuentry "Holdfast rescue" {
	linux $1/vmlinuz $consoles
	initrd $1/initrd.img
}
menuentry "Holdfast rescue: a shell" {
	linux $1/vmlinuz $consoles holdfast.end=shell
	initrd $1/initrd.img
}
END
}

# BIOS by GRUB's own image; UEFI by Debian's signed shim and GRUB, which Secure Boot
# lets pass.  The same file is for CDs, USB sticks and virtual drives.
make_iso() {
	local tree=$cache/iso grub=/usr/lib/grub/i386-pc
	rm -rf "$tree" "$cache/efi.img"
	mkdir -p "$tree/.disk" "$tree/boot/grub/x86_64-efi" "$cache/efi/EFI/BOOT"
	echo "Holdfast rescue" > "$tree/.disk/info"
	cp "$cache/out/vmlinuz" "$cache/out/initrd.img" "$tree/"
	menu "" > "$tree/boot/grub/grub.cfg"
	cp "$tree/boot/grub/grub.cfg" "$tree/boot/grub/x86_64-efi/grub.cfg"
	cat > "$cache/early.cfg" <<'END'
search --file --set=root /.disk/info
set prefix=($root)/boot/grub
END
	grub-mkimage -O i386-pc-eltorito -d "$grub" -p /boot/grub -c "$cache/early.cfg" -o "$tree/boot/eltorito.img" \
	    biosdisk iso9660 part_msdos part_gpt normal linux serial terminal configfile search search_fs_file test echo ls reboot halt
	cp "$shim/usr/lib/shim/shimx64.efi.signed" "$cache/efi/EFI/BOOT/BOOTX64.EFI"
	cp "$signed/usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed" "$cache/efi/EFI/BOOT/grubx64.efi"
	find "$cache/efi" -exec touch -h -d @315532800 {} +
	truncate -s 6M "$cache/efi.img"
	export SOURCE_DATE_EPOCH=315532800 # Of FAT and ISO alike.
	mformat -i "$cache/efi.img" -N 48464c44 -v RESCUE ::
	mcopy -i "$cache/efi.img" -s -m "$cache/efi/EFI" ::/
	find "$tree" -exec touch -h -d @315532800 {} +
	xorriso -as mkisofs -quiet -r -V HOLDFAST_RESCUE -o "$cache/out/rescue.iso" \
	    --grub2-mbr "$grub/boot_hybrid.img" -partition_offset 16 --mbr-force-bootable \
	    -append_partition 2 0xef "$cache/efi.img" \
	    -c boot/boot.cat -b boot/eltorito.img -no-emul-boot -boot-load-size 4 -boot-info-table --grub2-boot-info \
	    -eltorito-alt-boot -e --interval:appended_partition_2:all:: -no-emul-boot \
	    "$tree" > "$cache/xorriso.log" 2>&1 || { cat "$cache/xorriso.log" >&2; die "rescue: xorriso failed"; }
	rm -rf "$tree" "$cache/efi" "$cache/efi.img"
}
fetch shim-signed
shim=$fetched
fetch grub-efi-amd64-signed
signed=$fetched
if [ $iso = 1 ]; then make_iso; else rm -f "$out/rescue.iso"; fi

# What a machine's own network boot loads first (by TFTP or HTTP; docs/operators-guide.md).
fetch ipxe
for f in undionly.kpxe snponly.efi; do
	cp "$fetched/usr/lib/ipxe/$f" "$cache/out/"
done
cp "$fetched/boot/ipxe.efi" "$cache/out/ipxe.efi"
cp "$shim/usr/lib/shim/shimx64.efi.signed" "$cache/out/shimx64.efi"
cp "$signed/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed" "$cache/out/grubx64.efi"
menu "" > "$cache/out/grub/grub.cfg"

files=$(cd "$cache/out" && find . -type f | sort)
for f in $files; do
	command install -m 644 "$cache/out/$f" "$out/$f.new"
done
for f in $files; do
	mv "$out/$f.new" "$out/$f"
done
rm -rf "$cache/out" "$cache/site"
say "$out: for rescue-dir$([ $iso = 0 ] || echo "; rescue.iso boots CDs and USB sticks, BIOS and UEFI")"
