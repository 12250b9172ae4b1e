//! What real devices sent, each frame as its framing delivers it. These bytes are never edited to please the code.
//! The name of each device is that of its file in our collection of frames from public sources.

use super::*;
use crate::check::tests::{flips, read};
use data_encoding::HEXLOWER;

struct Device {
    file: &'static str,
    /// What the framing has taken off.
    note: &'static str,
    /// The check, as in a device profile.
    check: &'static str,
    /// The name of each case and its bytes.
    frames: &'static [(&'static str, &'static str)],
}

#[test]
fn real_frames_pass_and_with_a_bit_changed_they_do_not() {
    for device in DEVICES {
        let check = read(device.check).build().unwrap();
        for (case, hex) in device.frames {
            let frame = HEXLOWER.decode(hex.as_bytes()).unwrap();
            let name = format!("{} {case} {}", device.file, device.note);
            let data = check
                .open(&frame)
                .unwrap_or_else(|| panic!("{name}: the check fails"));
            flips(&check, &frame, &name);
            if !check.config.keep {
                let mut again = frame[data].to_vec();
                check.close(&mut again, 0);
                assert_eq!(HEXLOWER.encode(&again), *hex, "{name}: written again");
            }
        }
    }
}

const DEVICES: &[Device] = &[
    Device {
        file: "dlt645-2007.toml",
        note: "",
        check: r#"{ algorithm = "sum8", suffix = [0x16] }"#,
        frames: &[
            ("energy-0.04", "6837030092813968910833333433373333338c16"),
            ("energy-0.07", "68370300928139689108333334333a3333338f16"),
            ("energy-123456.78", "6801000000000068910833333433ab8967451716"),
        ],
    },
    Device {
        file: "dooya-curtain.toml",
        note: "",
        check: r#""CRC-16/MODBUS""#,
        frames: &[("position-30", "55010001011ee186")],
    },
    Device {
        file: "dsmr-p1-v4-v5.toml",
        note: "without the last CR LF",
        check: r#"{ algorithm = "CRC-16/ARC", encoding = "hex" }"#,
        frames: &[(
            "v5",
            "2f49536b355c324d543338322d313030300d0a0d0a312d333a302e322e38283530290d0a302d303a312e302e\
             302831373031303231393230303257290d0a302d303a39362e312e3128344233383435343733303330333433\
             3033343336333333393335333533303337290d0a312d303a312e382e31283030303030342e3432362a6b5768\
             290d0a312d303a312e382e32283030303030322e3339392a6b5768290d0a312d303a322e382e312830303030\
             30322e3434342a6b5768290d0a312d303a322e382e32283030303030302e3030302a6b5768290d0a302d303a\
             39362e31342e302830303032290d0a312d303a312e372e302830302e3234342a6b57290d0a312d303a322e37\
             2e302830302e3030302a6b57290d0a302d303a39362e372e3231283030303133290d0a302d303a39362e372e\
             39283030303030290d0a312d303a39392e39372e3028302928302d303a39362e372e3139290d0a312d303a33\
             322e33322e30283030303030290d0a312d303a35322e33322e30283030303030290d0a312d303a37322e3332\
             2e30283030303030290d0a312d303a33322e33362e30283030303030290d0a312d303a35322e33362e302830\
             30303030290d0a312d303a37322e33362e30283030303030290d0a302d303a39362e31332e3028290d0a312d\
             303a33322e372e3028303233302e302a56290d0a312d303a35322e372e3028303233302e302a56290d0a312d\
             303a37322e372e3028303232392e302a56290d0a312d303a33312e372e3028302e34382a41290d0a312d303a\
             35312e372e3028302e34342a41290d0a312d303a37312e372e3028302e38362a41290d0a312d303a32312e37\
             2e302830302e3037302a6b57290d0a312d303a34312e372e302830302e3033322a6b57290d0a312d303a3631\
             2e372e302830302e3134322a6b57290d0a312d303a32322e372e302830302e3030302a6b57290d0a312d303a\
             34322e372e302830302e3030302a6b57290d0a312d303a36322e372e302830302e3030302a6b57290d0a302d\
             313a32342e312e3028303033290d0a302d313a39362e312e3028333233323332333234313432343334343331\
             33323333333433353336333733383339290d0a302d313a32342e322e31283137303130323136313030355729\
             2830303030302e3130372a6d33290d0a302d323a32342e312e3028303033290d0a302d323a39362e312e3028\
             290d0a2136454545",
        )],
    },
    Device {
        file: "eastron-sdm120.toml",
        note: "",
        check: r#""CRC-16/MODBUS""#,
        frames: &[("voltage", "010404436633341b38")],
    },
    Device {
        file: "enocean-esp3.toml",
        note: "the check of the data",
        check: r#"{ algorithm = "CRC-8/SMBUS", covers = { from = 6 } }"#,
        frames: &[
            ("temperature", "55000a0701eba5000055080181b7440001ffffffff2d0075"),
            ("contact-open", "55000707017ad50801825dab0001ffffffff360053"),
            ("contact-closed", "55000707017ad50901825dab0001ffffffff3600c7"),
        ],
    },
    Device {
        file: "enocean-esp3.toml",
        note: "the check of the header",
        check: r#"{ algorithm = "CRC-8/SMBUS", at = 5, covers = { from = 1, to = 5 }, keep = true }"#,
        frames: &[
            ("temperature", "55000a0701eba5000055080181b7440001ffffffff2d0075"),
            ("contact-open", "55000707017ad50801825dab0001ffffffff360053"),
            ("contact-closed", "55000707017ad50901825dab0001ffffffff3600c7"),
        ],
    },
    Device {
        file: "escort-db2-lls.toml",
        note: "",
        check: r#""CRC-8/MAXIM-DOW""#,
        frames: &[
            ("F0", "3e01f01c0600a61300009e110000a0860100d405000a0568"),
            ("FC", "3e01fc54570000b0004f"),
        ],
    },
    Device {
        file: "hayward-aqualogic.toml",
        note: "unescaped",
        check: r#"{ algorithm = "sum16", suffix = [0x10, 0x03] }"#,
        frames: &[
            (
                "display-pool",
                "10020103506f6f6c2054656d7020202030df4320202020202020202020202020202020200007381003",
            ),
            (
                "display-air",
                "100201034169722054656d702020202031df4320202020202020202020202020202020200006db1003",
            ),
            ("leds", "100201022800fe0100000000013c1003"),
        ],
    },
    Device {
        file: "honeywell-hpma115c0.toml",
        note: "",
        check: r#""sum8-negated""#,
        frames: &[
            ("capture-0", "400d0400040007000900170000000084"),
            ("capture-1", "400d04000300040004000400000000a0"),
        ],
    },
    Device {
        file: "jbd-bms.toml",
        note: "",
        check: r#"{ algorithm = "sum16-negated", covers = { from = 2 }, suffix = [0x77] }"#,
        frames: &[
            (
                "info-4s",
                "dd03001d0618fee101f201f4002a2c7c00000000000080640304030b8b0b8a0b84f88477",
            ),
            ("cells-4s", "dd0400080d660d610d680d59fe3c77"),
            ("hw", "dd05000a30313233343536373839fde977"),
        ],
    },
    Device {
        file: "jk-bms-nw.toml",
        note: "",
        check: r#"{ algorithm = "sum16", prefix = [0, 0] }"#,
        frames: &[(
            "14s",
            "4e57011b00000000060001792a010eed020efa030ef7040eec050ef8060efa070ef1080ef8090ee30a0efa0b\
             0ef10c0efb0d0efb0e0ef280001d81001e82001c8314ef8480d0850f860287000489000000008a000e8b0000\
             8c00078e16268f10ae900fd2910fa0920005930bea940c1c95000596012c9700079800039900059a00059b0c\
             e49c00089d019e005a9f0046a00064a10064a20014a30046a40046a5ffeca6fff6a7ffeca8fff6a90eaa0000\
             000eab01ac01ad0411ae01af01b0000ab114b231323334353600000000b300b4496e707574205573b5323130\
             31b60000e200b748362e585f5f53362e312e33535f5fb800b900000000ba4254333037323032303132303030\
             30323030353231303031c0010000000068000054d1",
        )],
    },
    Device {
        file: "kamstrup-kmp.toml",
        note: "without start and end, unescaped",
        check: r#""CRC-16/XMODEM""#,
        frames: &[
            ("doc-get-register-stuffed", "3f100080160411012af0246303"),
            ("doc-get-serial", "3f0201234567e956"),
            ("multical21-volume", "3f1000442804430004cb132923"),
        ],
    },
    Device {
        file: "mbus-wired-meters.toml",
        note: "",
        check: r#"{ algorithm = "sum8", covers = { from = 4 }, suffix = [0x16] }"#,
        frames: &[
            (
                "elvaco-cma11",
                "685353680805723408005496153200f200000001fd1b0002fc0348522574d41122fc0348522574c81112fc03\
             48522574b4160265d00822657008126523090172184265e408820165dd080c783408005403fd0f0000041f5d\
             16",
            ),
            (
                "aquametro-amtron",
                "6831316808017245585703b40534049e0027b60306f934150315c6004d052e00000000053d00000000055b22\
             f32642055fc7da0d42fa16",
            ),
            (
                "edc-float",
                "68aeae682801729508121183140204170000008400863b230000008400863cd10100008440863b0000000084\
             40863c0000000085005b2b4bac4185005f20d7ac4185405b0000b84285405f0000b84285003b8400353f8540\
             3b0000000095003b95cfb24395403b0000000085002b0000000085402b0000000095002bd39f904695402b00\
             000000046d190f8a1784007c0143f30d000084407c01439d01000084007c01630100000084407c0163010000\
             000f2f16",
            ),
        ],
    },
    Device {
        file: "mercury-200.toml",
        note: "",
        check: r#""CRC-16/MODBUS""#,
        frames: &[
            ("energy", "fe12345627000621420002083400011111000222222b25"),
            ("params", "fe1234566312345678765432790e"),
            ("battery", "fe123456290391b765"),
        ],
    },
    Device {
        file: "mercury-230.toml",
        note: "",
        check: r#""CRC-16/MODBUS""#,
        frames: &[
            ("energy", "00300028c5ffffffff04009c95ffffffff44ab"),
            ("phase-energy", "00300029c53000290004009d955099"),
            ("u1", "0000405eb01c"),
        ],
    },
    Device {
        file: "neva-mt324.toml",
        note: "",
        check: r#"{ algorithm = "xor8", covers = { from = 1 } }"#,
        frames: &[
            ("total-p", "0231303037303046462830303030352e3329032c"),
            ("pf-l1", "0232313037464646462830302e373137290319"),
            ("temperature", "02363030393030464628303239290336"),
        ],
    },
    Device {
        file: "nmea0183-gps.toml",
        note: "without CR LF",
        check: r#"{ algorithm = "xor8", encoding = "hex", prefix = "*", covers = { from = 1 } }"#,
        frames: &[
            (
                "gga",
                "2447504747412c3138343335332e30372c313932392e3034352c532c30323431302e3530362c452c312c3034\
             2c322e362c3130302e30302c4d2c2d33332e392c4d2c2c303030302a3644",
            ),
            (
                "rmc",
                "244750524d432c3232353434362c412c343931362e34352c4e2c31323331312e31322c572c3030302e352c30\
             35342e372c3139313139342c3032302e332c452a3638",
            ),
            ("mwv", "2449494d57562c3237312e302c522c3030302e322c4e2c412a3342"),
        ],
    },
    Device {
        file: "omega-cn7500.toml",
        note: "",
        check: r#""CRC-16/MODBUS""#,
        frames: &[
            ("setpoint", "010302202ca059"),
            ("process-value-slave10", "0a030200fa9dc6"),
            ("run-bit", "010201016048"),
        ],
    },
    Device {
        file: "omron-hostlink.toml",
        note: "without CR",
        check: r#"{ algorithm = "xor8", encoding = "hex", suffix = "*" }"#,
        frames: &[
            (
                "roof-status",
                "403030524430303030304130323538303235383041303035362a",
            ),
            (
                "ten-words",
                "4030305244303030303030303030313030303030303030303030303030303030303030303030303030303030\
             30303035372a",
            ),
        ],
    },
    Device {
        file: "paradox-spectra-magellan.toml",
        note: "",
        check: r#""sum8""#,
        frames: &[
            (
                "disarm",
                "e2141301040b09020b0100000000025858585858585858585858202020202001000000009b",
            ),
            (
                "winload-login",
                "e2141301040b08300200000000000000000000000000000000000000000000020000000055",
            ),
            (
                "remote-button",
                "e214130a14103708040000000000000000000000000000000000000000000000000000007a",
            ),
        ],
    },
    Device {
        file: "plantower-pms5003.toml",
        note: "",
        check: r#""sum16""#,
        frames: &[
            (
                "capture-0",
                "424d001c00000008000800000008000800d20046002d001e00000000970002c5",
            ),
            (
                "capture-2",
                "424d001c00000007000700000007000700bd003f002a001b000000009700029f",
            ),
            (
                "capture-9",
                "424d001c000000050005000000050005008a002e0017000f0000000097000234",
            ),
        ],
    },
    Device {
        file: "pylontech-us2000-rs485.toml",
        note: "without CR",
        check: r#"{ algorithm = "sum16-negated", encoding = "hex", covers = { from = 1 } }"#,
        frames: &[
            (
                "us2000-3-modules",
                "7e32303032343630303931343231313033304630434537304345383043453630434537304345383043453830\
             4345383043453630434535304345363043453830434537304345413043453530434536303530423931304238\
             3730423837304238373042383746464536433138393832444330324333353030303146304630434532304345\
             3630434536304345313043453530434537304345363043453330434532304345353043453330434539304345\
             3730434539304345393035304239313042383730423837304238373042383746464537433137303832444330\
             3243333530303031463046304345323043453530434535304345323043453330434533304345343043453530\
             4345363043453630434533304345343043453430434536304345363035304239313042374430423744304237\
             44304237444646453543313630383244433032433335303030314642343736",
            ),
            (
                "us3000-4-modules",
                "7e32303032343630303631444331313034304630434644304346433043464330434642304346433043464230\
             4346443043464330434643304346423043464130434644304346423043464530434641303530424531304243\
             4430424344304243443042434430303030433243314646464630344646464630303246303045464543303132\
             3131303046304345423043454230434542304345413043454130434543304345423043454230434539304345\
             3830434536304345393043453930434541304345383035304245313042434430424344304243443042434446\
             4642434331423246464646303446464646303032383030463244303031323131303046304345383043453930\
             4345413043454130434541304345393043454130434541304345423043454330434542304345423043454230\
             4345413043454130353042453130424333304243333042433330424333464642374331423846464646303446\
             4646463030373130304537343030313231313030463043453930434543304345423043454130434541304345\
             4230434539304345383043454130434541304345413043454230434543304345413043454130353042443730\
             4243333042433330424333304242394646424243314239464646463034464646463030364230304544303830\
             313231313038443633",
            ),
        ],
    },
    Device {
        file: "pzem-004t-v3.toml",
        note: "",
        check: r#""CRC-16/MODBUS""#,
        frames: &[
            ("frame-1", "01041408d1006c000000f400000026000001f4006400005134"),
            ("frame-2", "010414089a002900000012000000ed00000257001400005138"),
        ],
    },
    Device {
        file: "rdm6300-rfid.toml",
        note: "without STX and ETX",
        check: r#"{ algorithm = "xor8", encoding = "hex", covers = { hex = true } }"#,
        frames: &[
            ("tag-1", "363245333038364345443038"),
            ("tag-2", "303130303037333445304432"),
        ],
    },
    Device {
        file: "resol-vbus.toml",
        note: "the check of the header",
        check: r#"{ algorithm = "sum7-complemented", at = 9, covers = { from = 1, to = 9 }, keep = true }"#,
        frames: &[
            (
                "mx-controller",
                "aa1000117e1000011b3437001d01002a3d012401001c07010901006d02003701004513023822040c38223822\
             05460f270f2700130f274605007e0f270f2700130f270f27001300000000007f00000000007f00000000007f\
             00000000007f00000000007f00000000007f00000000007f0f270f2700130f270f27001300000000007f0064\
             0000001b00006400001b00000000007f4c721f1e020200000000007f00000000007f00000000007f",
            ),
            (
                "mx-heat-quantity",
                "aa1500117e1000010a40020a0000007338001e01002800000000007f010b0000007300000000007f04080000\
             007300000000007f00640000001b00006400001b00000000007f",
            ),
            ("clock-module", "aa1000227e100001013d4b010e000025"),
        ],
    },
    Device {
        file: "sdi12-sensor.toml",
        note: "without CR LF",
        check: r#"{ algorithm = "CRC-16/ARC", encoding = "sdi-12" }"#,
        frames: &[
            ("example-a", "302b332e31344f715a"),
            ("example-b", "302b332e31342b322e3731382b312e34313449707a"),
            (
                "example-c1",
                "302b312e31312b322e32322b332e33332b342e34342b352e35352b362e3636495d71",
            ),
        ],
    },
    Device {
        file: "sensirion-sps30.toml",
        note: "between the flags, unescaped",
        check: r#""sum8-complemented""#,
        frames: &[
            (
                "capture-0",
                "0003002840a78320411777bb414a5f8341548ddd41d2833e4213fc85422617224229a4d9422a29bc3f55b7e7\
             9e",
            ),
            (
                "capture-1",
                "0003002840b9c67f41036c8b411e4ae24123aa92420c5b7c422efdba4238cab3423ab2c9423afde93f4a1025\
             d6",
            ),
            (
                "capture-2",
                "0003002840df03da411162ae41279e32412c107e42307ed34255c04c425e0908425fa28a425fe4433f40fa1f\
             ff",
            ),
        ],
    },
    Device {
        file: "sml-electricity-meter.toml",
        note: "",
        check: r#""CRC-16/IBM-SDLC""#,
        frames: &[
            (
                "emh-ehz",
                "1b1b1b1b01010101760700190055e90062006200726301017601010700190ea6a3000b06454d480102715820\
             5101016388c200760700190055e901620062007263070177010b06454d4801027158205101726201650ea6e0\
             ac7777078181c78203ff0101010104454d480177070100000009ff010101010b06454d480102715820510177\
             070100010800ff63018201621e52ff560007ef52f10177070100010801ff0101621e52ff560007ef52f10177\
             070100010802ff0101621e52ff56000000000001770701000f0700ff0101621b52ff55000005720177078181\
             c78205ff01010101830219921a526564acbae3026e61352675ec28276683f02dbb32fa701e3a753b34218b64\
             66b15064df5919f9f13f84b5b2c90101016340b600760700190055e9046200620072630201710163ae8c0000\
             1b1b1b1b1a018bdd",
            ),
            (
                "dzg-dvs74",
                "1b1b1b1b010101017605f12cad07620062007263010176010102310b0a01445a47000282225e7262016505e7\
             48d7620263955c007605f22cad07620062007263070177010b0a01445a47000282225e070100620affff7262\
             016505e748d77577070100603201010172620162006200520004445a470177070100600100ff017262016200\
             620052000b0a01445a47000282225e0177070100010800ff641c01047262016200621e52ff65033c93890177\
             070100020800ff017262016200621e52ff650fa49a9e0177070100100700ff017262016200621b52fe538b28\
             010101636b99007605f32cad076200620072630201710163d90c00001b1b1b1b1a01c3e1",
            ),
            (
                "hager-ehz361",
                "1b1b1b1b01010101760598e0ce95620062007263010176010108486167084219ad0831303031313835010163\
             5b2000760598e0ce9662006200726307017701083130303131383501017577078181c78203ff010101010648\
             414745520177070100000000ff0101010108313030313138350177070100020801ff628201621e52ff690000\
             000041c4988f01770700006001ffff010101010b303030303131363931370177070100010701ff628201621b\
             52fc55fca4988401010163fedb00760598e0ce9762006200726302017101631b000000001b1b1b1b1a02db3a",
            ),
        ],
    },
    Device {
        file: "solax-x1-mini.toml",
        note: "",
        check: r#""sum16""#,
        frames: &[(
            "g2-status",
            "aa55000a01001182320021000207ec0000001d0000001809551380022bffff00005daf000010500002000000\
             00000000000000000000000000000007a4",
        )],
    },
    Device {
        file: "somfy-sdn.toml",
        note: "as on the wire (inverted)",
        check: r#""sum16""#,
        frames: &[("position-report", "f2efdf3f97f80000ff45fed4000007a4")],
    },
    Device {
        file: "tdt-bms.toml",
        note: "",
        check: r#"{ algorithm = "CRC-16/MODBUS", order = "big", suffix = [0x0d] }"#,
        frames: &[
            (
                "4s",
                "7e000103008c0020040ce10cdf0ce10cdc040b930b9b0b8d0b8c40000526023f041c000803e8003791910d",
            ),
            (
                "16s",
                "7e000103008c003c100ce30ce60cde0cde0cdd0cde0cdd0cdc0cdc0cda0cde0cde0cde0cdd0cdf0cde060b5e\
             0b6f0b5e0b5e0b5e0b66c039149603df043b000803e8005b2b9c0d",
            ),
        ],
    },
    Device {
        file: "ublox-ubx-nav.toml",
        note: "",
        check: r#"{ algorithm = "fletcher8", covers = { from = 2 } }"#,
        frames: &[
            (
                "nav-posllh",
                "b56201021c0008b56221d928aafedceedb1f30640100cda60000d305000011080000c53a",
            ),
            (
                "nav-clock",
                "b5620122140008b562217742f6ffd0ffffff04000000570200004fdb",
            ),
            ("nav-status", "b5620103100008b5622103df0008385b00002bba9e0054e5"),
        ],
    },
    Device {
        file: "victron-vedirect-text.toml",
        note: "",
        check: r#""sum8-negated""#,
        frames: &[
            (
                "smartshunt-main",
                "0d0a504944093078413338390d0a560931323836380d0a5653092d31320d0a4909300d0a5009300d0a434509\
             300d0a534f4309313030300d0a545447092d310d0a416c61726d094f46460d0a415209300d0a424d5609536d\
             6172745368756e7420353030412f35306d560d0a465709303430350d0a436865636b73756d094b",
            ),
            (
                "smartshunt-history",
                "0d0a4831092d33323931340d0a483209300d0a483309300d0a483409300d0a483509300d0a4836092d333536\
             35320d0a48370931323034310d0a48380931343238320d0a483909300d0a48313009300d0a48313109300d0a\
             48313209300d0a483135092d32320d0a48313609300d0a4831370934360d0a4831380934380d0a436865636b\
             73756d091a",
            ),
        ],
    },
    Device {
        file: "viessmann-optolink-p300.toml",
        note: "without the acknowledge before it",
        check: r#"{ algorithm = "sum8", covers = { from = 1 } }"#,
        frames: &[
            ("outside-temperature", "4107010155250207018d"),
            ("device-id", "4107010100f80220b8db"),
            ("outside-temperature-capture", "41070101552502020188"),
        ],
    },
    Device {
        file: "voltronic-axpert-pi30.toml",
        note: "",
        check: r#"{ algorithm = "CRC-16/XMODEM", encoding = "pi30", suffix = "\r" }"#,
        frames: &[
            (
                "QPIGS",
                "283030302e302030302e30203233302e302034392e392030313631203031313920303033203436302035372e\
             3530203031322031303020303036392030303134203130332e382035372e3435203030303030203030313130\
             31313020303020303020303038353620303130248c0d",
            ),
            (
                "QPIRI",
                "283233302e302032312e37203233302e302035302e302032312e37203530303020343030302034382e302034\
             362e302034322e302035362e342035342e302030203130203031302031203020302036203031203020302035\
             342e30203020316f7e0d",
            ),
            ("QPI", "28504933309a0b0d"),
        ],
    },
    Device {
        file: "winsen-mh-z19b.toml",
        note: "",
        check: r#"{ algorithm = "sum8-negated", covers = { from = 1 } }"#,
        frames: &[
            ("capture-0", "ff86027c42000000ba"),
            ("capture-8", "ff86027b42000000bb"),
            ("capture-9", "ff86027942000000bd"),
        ],
    },
    Device {
        file: "linky-tic-historique.toml",
        note: "groups without LF and CR",
        check: r#"{ algorithm = "teleinfo", prefix = " " }"#,
        frames: &[
            ("ADCO", "4144434f20303231353238363033333134203a"),
            ("HCHC, whose check is a space", "48434843203030303732333339322020"),
            ("PAPP", "50415050203030313830202a"),
        ],
    },
    Device {
        file: "(Modbus ASCII, a request)",
        note: "without ':' and CR LF",
        check: r#"{ algorithm = "lrc", encoding = "hex", covers = { hex = true } }"#,
        frames: &[("read register 5001", "4637303331333839303030413630")],
    },
];
