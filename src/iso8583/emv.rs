//! Names of chip data elements (EMV 4.3 book 3 annex A, EMV contactless book C, and what UnionPay adds), and
//! which of them nobody may see.

use super::Exposure;

/// One tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The tag's bytes as a number: 0x9F26.
    pub tag: u32,
    /// English name.
    pub en: &'static str,
    /// Chinese name.
    pub zh: &'static str,
    /// Who may see its value.
    pub exposure: Exposure,
}

const fn open(tag: u32, en: &'static str, zh: &'static str) -> Tag {
    Tag {
        tag,
        en,
        zh,
        exposure: Exposure::Open,
    }
}

const fn masked(tag: u32, en: &'static str, zh: &'static str) -> Tag {
    Tag {
        tag,
        en,
        zh,
        exposure: Exposure::Masked,
    }
}

const fn secret(tag: u32, en: &'static str, zh: &'static str) -> Tag {
    Tag {
        tag,
        en,
        zh,
        exposure: Exposure::Secret,
    }
}

/// Ascending by tag.
const TAGS: &[Tag] = &[
    open(0x42, "issuer identification number", "发卡机构标识号"),
    open(0x4F, "application identifier", "应用标识符"),
    open(0x50, "application label", "应用标签"),
    secret(0x56, "track 1 data", "一磁道数据"),
    secret(0x57, "track 2 equivalent data", "二磁道等效数据"),
    masked(0x5A, "application PAN", "应用主账号"),
    open(0x61, "application template", "应用模板"),
    open(
        0x6F,
        "file control information template",
        "文件控制信息模板",
    ),
    open(0x70, "record template", "记录模板"),
    open(0x71, "issuer script template 1", "发卡行脚本模板1"),
    open(0x72, "issuer script template 2", "发卡行脚本模板2"),
    open(0x73, "directory discretionary template", "目录自定义模板"),
    open(0x77, "response template, format 2", "响应报文模板格式2"),
    open(0x80, "response template, format 1", "响应报文模板格式1"),
    open(0x81, "amount, authorised (binary)", "授权金额(二进制)"),
    open(0x82, "application interchange profile", "应用交互特征"),
    open(0x83, "command template", "命令模板"),
    open(0x84, "dedicated file name", "专用文件名称"),
    open(0x86, "issuer script command", "发卡行脚本命令"),
    open(0x87, "application priority indicator", "应用优先指示器"),
    open(0x88, "short file identifier", "短文件标识符"),
    open(0x89, "authorisation code", "授权码"),
    open(0x8A, "authorisation response code", "授权响应码"),
    open(0x8C, "CDOL1", "卡片风险管理数据对象列表1"),
    open(0x8D, "CDOL2", "卡片风险管理数据对象列表2"),
    open(
        0x8E,
        "cardholder verification method list",
        "持卡人验证方法列表",
    ),
    open(0x8F, "CA public key index", "认证中心公钥索引"),
    open(0x90, "issuer public key certificate", "发卡行公钥证书"),
    open(0x91, "issuer authentication data", "发卡行认证数据"),
    open(0x92, "issuer public key remainder", "发卡行公钥余数"),
    open(0x93, "signed static application data", "签名的静态应用数据"),
    open(0x94, "application file locator", "应用文件定位器"),
    open(0x95, "terminal verification results", "终端验证结果"),
    open(0x97, "TDOL", "交易证书数据对象列表"),
    open(0x98, "transaction certificate hash value", "交易证书哈希值"),
    secret(0x99, "transaction PIN data", "交易PIN数据"),
    open(0x9A, "transaction date", "交易日期"),
    open(0x9B, "transaction status information", "交易状态信息"),
    open(0x9C, "transaction type", "交易类型"),
    open(0x9D, "directory definition file name", "目录定义文件名称"),
    open(0xA5, "FCI proprietary template", "文件控制信息专用模板"),
    secret(0x5F20, "cardholder name", "持卡人姓名"),
    open(0x5F24, "application expiration date", "应用失效日期"),
    open(0x5F25, "application effective date", "应用生效日期"),
    open(0x5F28, "issuer country code", "发卡行国家代码"),
    open(0x5F2A, "transaction currency code", "交易货币代码"),
    open(0x5F2D, "language preference", "首选语言"),
    open(0x5F30, "service code", "服务码"),
    open(0x5F34, "PAN sequence number", "应用主账号序列号"),
    open(0x5F36, "transaction currency exponent", "交易货币指数"),
    open(0x5F50, "issuer URL", "发卡行URL"),
    secret(0x5F53, "international bank account number", "国际银行账号"),
    open(0x5F54, "bank identifier code", "银行标识码"),
    open(
        0x5F55,
        "issuer country code (alpha 2)",
        "发卡行国家代码(2字符)",
    ),
    open(
        0x5F56,
        "issuer country code (alpha 3)",
        "发卡行国家代码(3字符)",
    ),
    open(0x9F01, "acquirer identifier", "收单机构标识"),
    open(0x9F02, "amount, authorised", "授权金额"),
    open(0x9F03, "amount, other", "其他金额"),
    open(0x9F04, "amount, other (binary)", "其他金额(二进制)"),
    open(0x9F05, "application discretionary data", "应用自定义数据"),
    open(
        0x9F06,
        "application identifier (terminal)",
        "应用标识符(终端)",
    ),
    open(0x9F07, "application usage control", "应用用途控制"),
    open(
        0x9F08,
        "application version number (card)",
        "应用版本号(卡片)",
    ),
    open(
        0x9F09,
        "application version number (terminal)",
        "应用版本号(终端)",
    ),
    secret(0x9F0B, "cardholder name extended", "持卡人姓名扩展"),
    open(0x9F0D, "issuer action code, default", "发卡行行为代码-缺省"),
    open(0x9F0E, "issuer action code, denial", "发卡行行为代码-拒绝"),
    open(0x9F0F, "issuer action code, online", "发卡行行为代码-联机"),
    open(0x9F10, "issuer application data", "发卡行应用数据"),
    open(0x9F11, "issuer code table index", "发卡行代码表索引"),
    open(0x9F12, "application preferred name", "应用首选名称"),
    open(0x9F13, "last online ATC register", "上次联机应用交易计数器"),
    open(
        0x9F14,
        "lower consecutive offline limit",
        "连续脱机交易下限",
    ),
    open(0x9F15, "merchant category code", "商户类别码"),
    open(0x9F16, "merchant identifier", "商户标识"),
    open(0x9F17, "PIN try counter", "PIN尝试计数器"),
    open(0x9F18, "issuer script identifier", "发卡行脚本标识"),
    open(0x9F1A, "terminal country code", "终端国家代码"),
    open(0x9F1B, "terminal floor limit", "终端最低限额"),
    open(0x9F1C, "terminal identification", "终端标识"),
    open(0x9F1D, "terminal risk management data", "终端风险管理数据"),
    open(0x9F1E, "interface device serial number", "接口设备序列号"),
    secret(0x9F1F, "track 1 discretionary data", "一磁道自定义数据"),
    secret(0x9F20, "track 2 discretionary data", "二磁道自定义数据"),
    open(0x9F21, "transaction time", "交易时间"),
    open(
        0x9F22,
        "CA public key index (terminal)",
        "认证中心公钥索引(终端)",
    ),
    open(
        0x9F23,
        "upper consecutive offline limit",
        "连续脱机交易上限",
    ),
    open(0x9F24, "payment account reference", "支付账户参考号"),
    open(0x9F26, "application cryptogram", "应用密文"),
    open(0x9F27, "cryptogram information data", "密文信息数据"),
    open(
        0x9F2D,
        "ICC PIN encipherment public key certificate",
        "IC卡PIN加密公钥证书",
    ),
    open(
        0x9F2E,
        "ICC PIN encipherment public key exponent",
        "IC卡PIN加密公钥指数",
    ),
    open(
        0x9F2F,
        "ICC PIN encipherment public key remainder",
        "IC卡PIN加密公钥余数",
    ),
    open(0x9F32, "issuer public key exponent", "发卡行公钥指数"),
    open(0x9F33, "terminal capabilities", "终端性能"),
    open(0x9F34, "cardholder verification results", "持卡人验证结果"),
    open(0x9F35, "terminal type", "终端类型"),
    open(0x9F36, "application transaction counter", "应用交易计数器"),
    open(0x9F37, "unpredictable number", "不可预知数"),
    open(0x9F38, "PDOL", "处理选项数据对象列表"),
    open(0x9F39, "point-of-service entry mode", "服务点输入方式"),
    open(0x9F3A, "amount, reference currency", "参考货币金额"),
    open(0x9F3B, "application reference currency", "应用参考货币"),
    open(
        0x9F3C,
        "transaction reference currency code",
        "交易参考货币代码",
    ),
    open(
        0x9F3D,
        "transaction reference currency exponent",
        "交易参考货币指数",
    ),
    open(0x9F40, "additional terminal capabilities", "终端附加性能"),
    open(0x9F41, "transaction sequence counter", "交易序列计数器"),
    open(0x9F42, "application currency code", "应用货币代码"),
    open(
        0x9F43,
        "application reference currency exponent",
        "应用参考货币指数",
    ),
    open(0x9F44, "application currency exponent", "应用货币指数"),
    open(0x9F45, "data authentication code", "数据认证码"),
    open(0x9F46, "ICC public key certificate", "IC卡公钥证书"),
    open(0x9F47, "ICC public key exponent", "IC卡公钥指数"),
    open(0x9F48, "ICC public key remainder", "IC卡公钥余数"),
    open(0x9F49, "DDOL", "动态数据认证数据对象列表"),
    open(
        0x9F4A,
        "static data authentication tag list",
        "静态数据认证标签列表",
    ),
    open(
        0x9F4B,
        "signed dynamic application data",
        "签名的动态应用数据",
    ),
    open(0x9F4C, "ICC dynamic number", "IC卡动态数"),
    open(0x9F4D, "log entry", "日志入口"),
    open(0x9F4E, "merchant name and location", "商户名称和地址"),
    open(0x9F4F, "log format", "日志格式"),
    open(
        0x9F51,
        "application currency code (UnionPay)",
        "应用货币代码(PBOC)",
    ),
    open(0x9F53, "transaction category code", "交易类别码"),
    open(
        0x9F54,
        "cumulative total amount limit",
        "累计交易总金额限制",
    ),
    open(0x9F58, "consecutive transaction limit", "连续交易限制数"),
    open(0x9F5A, "application program identifier", "应用程序标识"),
    open(0x9F5B, "issuer script results", "发卡行脚本结果"),
    open(
        0x9F5D,
        "available offline spending amount",
        "可用脱机消费金额",
    ),
    open(0x9F63, "card product identification", "卡产品标识信息"),
    open(0x9F66, "terminal transaction qualifiers", "终端交易属性"),
    open(
        0x9F69,
        "card authentication related data",
        "卡片认证相关数据",
    ),
    secret(0x9F6B, "track 2 data", "二磁道数据"),
    open(0x9F6C, "card transaction qualifiers", "卡片交易属性"),
    open(0x9F6D, "e-cash reset threshold", "电子现金重置阈值"),
    open(0x9F6E, "form factor indicator", "形态因子指示"),
    open(
        0x9F74,
        "e-cash issuer authorisation code",
        "电子现金发卡行授权码",
    ),
    open(0x9F77, "e-cash balance limit", "电子现金余额上限"),
    open(
        0x9F78,
        "e-cash single transaction limit",
        "电子现金单笔交易限额",
    ),
    open(0x9F79, "e-cash balance", "电子现金余额"),
    open(
        0x9F7A,
        "e-cash terminal support indicator",
        "电子现金终端支持指示器",
    ),
    open(0x9F7C, "customer exclusive data", "持卡人专用数据"),
    open(
        0xBF0C,
        "FCI issuer discretionary data",
        "文件控制信息发卡行自定义数据",
    ),
    open(
        0xDF31,
        "issuer script results (UnionPay)",
        "发卡行脚本结果(银联)",
    ),
    open(0xDF32, "chip serial number", "芯片序列号"),
    open(0xDF33, "session key data", "过程密钥数据"),
    open(0xDF34, "terminal read time", "终端读取时间"),
];

/// What is known of a tag, given as a number (0x9F26).
#[must_use]
pub fn tag(tag: u32) -> Option<&'static Tag> {
    let at = TAGS.binary_search_by_key(&tag, |known| known.tag).ok()?;
    TAGS.get(at)
}

/// Whether the value of a tag may have so many bytes, as far as its size is fixed (EMV 4.3 book 3, annex A).
#[must_use]
pub fn fits(tag: u32, bytes: usize) -> bool {
    let sizes = match tag {
        0x9C | 0x5F34 | 0x9F27 | 0x9F35 | 0x9F39 | 0x9F53 | 0x87 | 0x88 => 1..=1,
        0x82 | 0x8A | 0x9B | 0x5F28 | 0x5F2A | 0x5F30 | 0x9F07 | 0x9F08 | 0x9F09 | 0x9F1A
        | 0x9F36 => 2..=2,
        0x9A | 0x5F24 | 0x5F25 | 0x9F21 | 0x9F33 | 0x9F34 => 3..=3,
        0x81 | 0x9F1B | 0x9F37 | 0x9F66 => 4..=4,
        0x95 | 0x9F0D | 0x9F0E | 0x9F0F | 0x9F40 => 5..=5,
        0x9F02 | 0x9F03 => 6..=6,
        0x9F26 | 0x9F1C | 0x9F1E => 8..=8,
        0x9F41 => 2..=4,
        0x84 | 0x4F | 0x9F06 => 5..=16,
        0x9F10 => 0..=32,
        _ => return true,
    };
    sizes.contains(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_sorted_and_well_formed() {
        for pair in TAGS.windows(2) {
            assert!(pair[0].tag < pair[1].tag, "{:X}", pair[1].tag);
        }
        for tag in TAGS {
            let [_, _, first, second] = tag.tag.to_be_bytes();
            // Five ones in the first byte say that a second follows (EMV book 3, annex B).
            let sound = match first {
                0 => second & 0x1F != 0x1F,
                _ => first & 0x1F == 0x1F && second & 0x80 == 0,
            };
            assert!(sound, "{:X}", tag.tag);
            assert!(!tag.en.is_empty() && !tag.zh.is_empty(), "{:X}", tag.tag);
        }
    }

    #[test]
    fn sizes_are_of_tags_that_are_known() {
        for known in 0..=0xFFFF_u32 {
            let any = (0..=64).all(|bytes| fits(known, bytes));
            assert!(any || tag(known).is_some(), "{known:X}");
            let some = (0..=64).any(|bytes| fits(known, bytes));
            assert!(some, "{known:X}");
        }
        assert!(fits(0x9F36, 2) && !fits(0x9F36, 18));
    }

    #[test]
    fn what_shows_a_card_or_its_holder_is_not_open() {
        for hidden in [
            0x56, 0x57, 0x5A, 0x99, 0x5F20, 0x5F53, 0x9F0B, 0x9F1F, 0x9F20, 0x9F6B,
        ] {
            assert_ne!(tag(hidden).unwrap().exposure, Exposure::Open, "{hidden:X}");
        }
        assert_eq!(tag(0x9F26).unwrap().en, "application cryptogram");
        assert_eq!(tag(0x009F_FFFF), None);
    }
}
